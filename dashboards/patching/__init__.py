"""The page that patches one run into another and shows where it matters."""
