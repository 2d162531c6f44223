"""Do the operators equal exact arithmetic, scikit-learn and the codes that their presets reproduce?"""
