"""Why a run fails: where it breaks, what the heads did there, how it drifts, where its text goes astray, its depth."""
