"""What `dilmac finetune` is made of: methods, rows, objectives, the trainer, merging."""
