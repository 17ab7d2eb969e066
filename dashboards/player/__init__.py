"""The player: a run as an animated graph in the browser, where nodes are clicked, inspected and edited."""
