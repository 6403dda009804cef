"""The storm: random faults at random moments, overlapping, healed; what it did is kept, repeated and shrunk.

`plan` draws faults and moments from a seed, and nothing else; `sheet` is a plan as a file that people read and edit;
`play` lets a plan loose on a standing lab; `shrink` looks for the shortest part of a plan that still fails; `run` is
the command: a fresh lab, a plan played, judged and reported.
"""
