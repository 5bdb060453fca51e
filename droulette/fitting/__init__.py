"""A lens and a source fitted to a picture: what the picture allows, starts, the minimum, and how sure it is.

Arrays in, arrays out: no files, no tables, no network. `family` says what is fitted, `observation` to what, `starts`
where from, `optimise` how; `posterior` says how sure the answer is, and `bound` how sure any answer could be.
"""
