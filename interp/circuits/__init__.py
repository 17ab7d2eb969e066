"""Circuits: the story of one node, every claim with the effect that backs it; and the edges of a step that carry an
answer, in every step or in each anew.
"""
