"""Does each operator obey its contract, equal its reference, and keep the promises that are specific to it?"""
