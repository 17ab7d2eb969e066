"""What a run makes of an edit of one code: where it goes, how long it takes, and whether the algorithm says so too."""
