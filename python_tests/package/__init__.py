"""Is the package what was built: library, README, vector capabilities, imports?"""
