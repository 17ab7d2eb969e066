"""Probes by step and site, always with their controls."""
