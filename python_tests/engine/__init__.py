"""Do training, checkpoints, the schedule and the evaluation do what they say?"""
