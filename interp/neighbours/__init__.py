"""What papers on other small Transformers ask, asked here: each question with a truth it recovers and a control."""
