"""Learning from feedback: what was shown and what became of it, as pairs; a LoRA fitted to them; its judgement."""
