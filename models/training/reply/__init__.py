"""Fine-tuning of language models that word replies: dialogues in, an adapter and a merged model out."""
