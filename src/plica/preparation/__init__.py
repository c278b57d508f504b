"""Image ⇄ network input: steps that can be undone, or say what they lost."""
