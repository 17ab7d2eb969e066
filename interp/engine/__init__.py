"""Runs, and what is done to them: sites, interventions, replay without computing anything twice."""
