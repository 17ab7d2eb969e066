"""What an analysis is described by, and what is made of the description: its command here, its page in `dashboards`."""
