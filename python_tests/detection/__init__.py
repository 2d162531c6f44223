"""Do network, losses, training steps and post-processing of the detectors do what they say?"""
