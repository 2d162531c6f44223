"""Are pictures and annotations read, changed, batched and rendered as they should be?"""
