"""Do bad inputs, bad data and bad options have the documented effect, and do they give the right error message?"""
