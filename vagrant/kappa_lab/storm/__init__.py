"""The storm: random faults at random moments, overlapping, healed; what it did is kept, repeated and shrunk.

- `plan`     faults and moments, drawn from a seed and from nothing else
- `sheet`    a plan as a file that people read, edit and play again
- `play`     a plan let loose on a standing lab
- `run`      a storm from its beginning to its end: fresh lab, users, verdict
- `shrink`   the search for the shortest part of a plan that still fails
- `trials`   that search in the lab
- `command`  what `kappa-lab storm` does
"""
