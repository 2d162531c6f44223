"""Do the operators equal the recorded outputs of the reference implementations?"""
