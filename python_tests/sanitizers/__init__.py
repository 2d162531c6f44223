"""Do AddressSanitizer and UndefinedBehaviorSanitizer report no error, and do they detect errors that are planted?"""
