"""dilmaç: the whole life of a Turkish language model, and the passage between its stages.

Each stage is one function that takes one Config and returns an Artifact (or Figures). The
functions live in their rooms (`from dilmac.tokenizer import train_tokenizer`); this page
names them once.

    corpus      build_corpus(CorpusConfig)
    tokenizer   train_tokenizer(TokenizerConfig), extend_tokenizer(ExtendConfig),
                compare_tokenizers(CompareConfig), TokenizerAdapter(source, target), load(name)
    training    pretrain(PretrainConfig), finetune(FinetuneConfig),
                classify_train(ClassifyConfig), classify_predict(PredictConfig)
    transplant  transplant(TransplantConfig), heal(HealConfig)
    evaluate    evaluate(EvaluateConfig), compare_runs(CompareRunsConfig)
    export      export_gguf(GgufConfig)
    serve       chat(ChatConfig)
    recipe      run_recipe(RecipeConfig)
    quickstart  quickstart(QuickstartConfig)

The guides' one call is here itself: `TurkishModelTrainer(ModelConfig(...)).train("data.jsonl")`.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
