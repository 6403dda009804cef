"""The inside of `fence_kappa`: standard library only, Python 3.9, and nothing imported that the path does not need."""
