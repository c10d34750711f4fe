"""The receiver that C{twistd} runs: its settings, its life, and what it received."""
