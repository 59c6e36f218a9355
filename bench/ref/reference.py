"""The reference that nnr is compared with.

SmolLM2-135M-Instruct as transformers runs it in fp32 on the dequantised
weights of the GGUF file, and the tokenizer rebuilt from the same file.  The
weights come from the GGUF alone, so both sides start from the same bits.

    from reference import Reference
    ref = Reference()
    ids = ref.tokenize("Hello, we can use")
    logp = ref.logprobs(ids)              # float32 [tokens, vocabulary]

Run it by itself to check the test vectors and print a continuation:

    $NNR_PEERS/venv/bin/python bench/ref/reference.py [--dump]
"""

import hashlib
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

PEERS = Path(os.environ.get("NNR_PEERS", "~/.cache/nnr-peers")).expanduser()
MODEL = PEERS / "model" / "SmolLM2-135M-Instruct.Q4_1.gguf"
FORMAT = "2"  # changes when the converted folder has to be made again

# tokenizer.ggml.token_type
CONTROL, USER_DEFINED = 3, 4

# From the published tokenizer; see Reference.check().
VECTORS = {
    "Hello, we can use": [19556, 28, 392, 416, 722],
    "The capital of France is": [504, 3575, 282, 4649, 314],
    "Hello world! 123": [19556, 905, 17, 216, 33, 34, 35],
    "Café déjà vu.": [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30],
    "  multiple   spaces": [216, 2701, 256, 5600],
    "\n": [198],
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face": [
        2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018,
        411, 407, 19712, 8182],
}


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_gguf(path):
    """Metadata as a dict of plain values, and gguf-py's tensor list."""
    from gguf import GGUFReader
    reader = GGUFReader(str(path))
    meta = {name: field.contents() for name, field in reader.fields.items()}
    return meta, reader.tensors


def unpermute(rows, heads):
    """Undo the conversion's row order: adjacent RoPE pairs to half and half."""
    out, width = rows.shape
    return (rows.reshape(heads, out // heads // 2, 2, width)
            .swapaxes(1, 2).reshape(out, width))


def hf_config(meta):
    def key(name):
        return meta["llama." + name]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": key("embedding_length"),
        "num_hidden_layers": key("block_count"),
        "num_attention_heads": key("attention.head_count"),
        "num_key_value_heads": key("attention.head_count_kv"),
        "intermediate_size": key("feed_forward_length"),
        "max_position_embeddings": key("context_length"),
        "rms_norm_eps": key("attention.layer_norm_rms_epsilon"),
        "rope_theta": key("rope.freq_base"),
        "rope_parameters": {"rope_type": "default",
                            "rope_theta": key("rope.freq_base")},
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }


NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hf_name(name):
    part = name.split(".")
    if part[0] == "blk":
        return f"model.layers.{part[1]}.{NAMES[part[2]]}.{part[3]}"
    return f"{NAMES[part[0]]}.{part[1]}"


def hf_weights(meta, tensors):
    from gguf.quants import dequantize
    heads = {"attn_q": meta["llama.attention.head_count"],
             "attn_k": meta["llama.attention.head_count_kv"]}
    weights = {}
    for tensor in tensors:
        if tensor.name == "output.weight":
            raise ValueError("the reference expects tied embeddings")
        value = dequantize(tensor.data, tensor.tensor_type)
        value = np.ascontiguousarray(value, dtype=np.float32)
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            value = np.ascontiguousarray(unpermute(value, heads[kind]))
        weights[hf_name(tensor.name)] = value
    return weights


def build_tokenizer(meta):
    """A tokenizers.Tokenizer from the file's tokens, merges and types."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from tokenizers import pre_tokenizers
    pre = meta["tokenizer.ggml.pre"]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre == "smollm":
        splitter = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), byte_level])
    elif pre == "gpt-2":
        splitter = byte_level
    else:
        raise ValueError(f"unknown pre-tokenizer {pre}")
    tokens = meta["tokenizer.ggml.tokens"]
    types = meta["tokenizer.ggml.token_type"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(
        vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types):
        if kind in (CONTROL, USER_DEFINED):
            tokenizer.add_tokens([AddedToken(
                token, special=kind == CONTROL, normalized=False)])
    return tokenizer


def convert(gguf, folder):
    """Write an HF model folder: config, weights, tokenizer, GGUF metadata."""
    from safetensors.numpy import save_file
    from transformers import PreTrainedTokenizerFast
    meta, tensors = read_gguf(gguf)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(hf_config(meta), indent=1))
    save_file(hf_weights(meta, tensors), folder / "model.safetensors",
              metadata={"format": "pt"})
    tokens = meta["tokenizer.ggml.tokens"]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(meta),
        bos_token=tokens[meta["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[meta["tokenizer.ggml.eos_token_id"]])
    fast.chat_template = meta.get("tokenizer.chat_template")
    fast.save_pretrained(folder)
    small = {k: v for k, v in meta.items() if not isinstance(v, list)}
    (folder / "gguf.json").write_text(json.dumps(small, indent=1, default=str))


def model_folder(gguf=MODEL):
    """The converted folder of a GGUF file; made on first use."""
    digest = sha256(gguf)
    folder = PEERS / "hf" / f"{digest[:16]}-{FORMAT}"
    if not (folder / "done").exists():
        convert(gguf, folder)
        (folder / "done").write_text(digest)
    return folder


class Reference:
    """Model and tokenizer; the model is loaded when it is first needed."""

    def __init__(self, gguf=MODEL, threads=None, dtype="float32"):
        from transformers import PreTrainedTokenizerFast
        self.gguf = Path(gguf)
        self.folder = model_folder(self.gguf)
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(self.folder)
        self.dtype = dtype
        self.threads = threads
        self._model = None

    @property
    def model(self):
        if self._model is None:
            import torch
            from transformers import LlamaForCausalLM
            if self.threads:
                torch.set_num_threads(self.threads)
            torch.manual_seed(0)
            self._model = LlamaForCausalLM.from_pretrained(
                self.folder, dtype=getattr(torch, self.dtype)).eval()
        return self._model

    def tokenize(self, text, special=False):
        """Token ids; text that looks like a special token stays text."""
        return self.tokenizer(text, add_special_tokens=False,
                              split_special_tokens=not special)["input_ids"]

    def detokenize(self, ids):
        return self.tokenizer.decode(ids, skip_special_tokens=False,
                                     clean_up_tokenization_spaces=False)

    def logits(self, ids, keep=None):
        """Logits of one sequence: every position, or the last `keep`."""
        import torch
        with torch.inference_mode():
            batch = torch.tensor([list(ids)])
            out = self.model(batch, logits_to_keep=keep or 0, use_cache=False)
            return out.logits[0].numpy()

    def logprobs(self, ids, keep=None):
        return log_softmax(self.logits(ids, keep))

    def scores(self, prompts, choices):
        """Summed log-probabilities, a row of choices for each prompt.

        A prompt is tokenised as one string and a choice apart from it.  The
        tokens that all prompts begin with are run once.
        """
        import torch
        ids = [self.tokenize(prompt) for prompt in prompts]
        tails = [self.tokenize(choice) for choice in choices]
        common = len(os.path.commonprefix(ids)) if len(ids) > 1 else 0
        common = min(common, min(map(len, ids)) - 1)
        table = []
        with torch.inference_mode():
            past = None
            if common:
                past = self.model(torch.tensor([ids[0][:common]]),
                                  logits_to_keep=1, use_cache=True).past_key_values
            for tokens in ids:
                out = self.model(torch.tensor([tokens[common:]]), use_cache=True,
                                 past_key_values=past, logits_to_keep=1)
                past = out.past_key_values
                first = log_softmax(out.logits[0, -1].numpy())
                row = []
                for tail in tails:
                    score = first[tail[0]]
                    if len(tail) > 1:
                        out = self.model(torch.tensor([tail[:-1]]),
                                         past_key_values=past, use_cache=True)
                        logp = log_softmax(out.logits[0].numpy())
                        score += sum(logp[i, t] for i, t in enumerate(tail[1:]))
                        past.crop(1 - len(tail))
                    row.append(float(score))
                table.append(row)
                if common:
                    past.crop(common - len(tokens))
                else:
                    past = None
        return table

    def greedy(self, ids, steps, forced=None):
        """Greedy tokens and, at each step, best minus second-best logit."""
        import torch
        tokens, gaps, past = [], [], None
        feed = torch.tensor([list(ids)])
        with torch.inference_mode():
            for step in range(steps):
                out = self.model(feed, past_key_values=past, use_cache=True,
                                 logits_to_keep=1)
                past = out.past_key_values
                best = torch.topk(out.logits[0, -1], 2)
                gaps.append(float(best.values[0] - best.values[1]))
                token = int(best.indices[0])
                tokens.append(token)
                feed = torch.tensor([[forced[step] if forced else token]])
        return tokens, gaps

    def check(self):
        """Compare with the test vectors; returns the texts that differ."""
        return [t for t, ids in VECTORS.items() if self.tokenize(t) != ids]


def log_softmax(logits):
    x = np.asarray(logits, dtype=np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def dump(gguf):
    meta, tensors = read_gguf(gguf)
    for name, value in meta.items():
        if isinstance(value, list):
            print(f"{name} = [{len(value)}] {value[:20]!r} ...")
        else:
            print(f"{name} = {value!r}")
    for t in tensors:
        print(f"{t.name:32} {t.tensor_type.name:5} "
              f"{'x'.join(str(int(d)) for d in t.shape):12} "
              f"offset {int(t.data_offset)} bytes {int(t.n_bytes)}")
    kinds = meta["tokenizer.ggml.token_type"]
    print("special:", [(i, meta["tokenizer.ggml.tokens"][i], k)
                       for i, k in enumerate(kinds) if k != 1])


def main():
    if "--dump" in sys.argv:
        return dump(MODEL)
    ref = Reference()
    wrong = ref.check()
    for text in wrong:
        print("differs:", repr(text), ref.tokenize(text), VECTORS[text])
    print(f"{len(VECTORS) - len(wrong)} of {len(VECTORS)} test vectors agree")
    for prompt in ("The capital of France is", "Water boils at"):
        tokens, gaps = ref.greedy(ref.tokenize(prompt), 24)
        print(repr(prompt + ref.detokenize(tokens)),
              f"smallest gap {min(gaps):.4f}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
