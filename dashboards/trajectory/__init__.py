"""The page that shows one graph being solved, step by step."""
