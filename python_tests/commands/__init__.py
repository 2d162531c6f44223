"""Do the command line and the demo run, and say what is wrong?"""
