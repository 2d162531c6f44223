"""Does each operator obey its contract, equal its reference twin, and do what only it promises?"""
