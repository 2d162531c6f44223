"""What do bad input, bad data and bad options do, and what does the error message say?"""
