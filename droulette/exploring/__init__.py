"""The page of `droulette explore`: its controls, what they show, and the server that it comes from.

It has no physics of its own: scenes are `droulette.api.scene.Scene`, and pictures come from `droulette.pipeline`.
"""
