"""Pure functions from data to plotly figures, the same in notebook, report and app."""
