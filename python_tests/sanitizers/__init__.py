"""Do AddressSanitizer and UndefinedBehaviorSanitizer find nothing, and would they find something?"""
