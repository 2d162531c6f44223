"""Do laws that need no reference hold for any input? Hypothesis draws the inputs."""
