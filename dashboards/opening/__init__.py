"""The page that opens what a reader brings: sessions and runs that were saved, and models and graphs of one's own."""
