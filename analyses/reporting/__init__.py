"""The sections of `recurlens report`, and the page they are put on."""
