"""Foreign looped models as `interp.Loop`s, one small file each.

An adapter says how a run begins, what a step is and what a state shows; every computation is the model's own. What the
packages bring is tested against their own classes; Huginn's, Ouro's and OpenMythos's code is asked for by the names of
its methods alone.
"""
