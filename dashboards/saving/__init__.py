"""Figures as files: pictures are drawn in the browser, pages and data on the server when they are asked for."""
