"""Trains a family of small Qwen3 and Mistral checkpoints on a text corpus and saves Hugging Face directories.

usage: train.py --corpus train.txt --out DIR --plan qwen3-1m:45,qwen3-3m:70
The plan gives each model's training time in seconds. Writes DIR/NAME/{config.json, generation_config.json,
model.safetensors, tokenizer.json, tokenizer_config.json, chat_template.jinja, training.json}. Needs a CUDA GPU.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

# family, layers, hidden size, query heads, KV heads, head_dim, feed-forward size
SHAPES = {
    "qwen3-1m": ("qwen3", 4, 128, 4, 2, 64, 384),
    "qwen3-3m": ("qwen3", 6, 192, 4, 2, 64, 576),
    "qwen3-9m": ("qwen3", 8, 288, 4, 2, 128, 864),
    "qwen3-27m": ("qwen3", 9, 416, 8, 4, 128, 1248),
    "mistral-9m": ("mistral", 8, 288, 4, 2, 128, 864),
}
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
END_OF_TEXT, END_OF_TURN = 0, 2
ROPE_THETA = 10_000.0

# Qwen's split: digits one by one, contractions in any case.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

BATCH = 32
WARMUP_STEPS = 100
# Share of the time at the full learning rate, and the share of it that is left at the end.
CONSTANT_SHARE, FINAL_SHARE = 0.3, 0.02
TOKENIZER_SAMPLE_CHARACTERS = 40_000_000
SAMPLE_PROMPTS = [
    "Once upon a time",
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
]


def train_tokenizer(documents, vocab_size, path):
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stride = max(1, sum(map(len, documents)) // TOKENIZER_SAMPLE_CHARACTERS)
    tokenizer.train_from_iterator(documents[::stride], trainer)
    tokenizer.save(str(path))


def load_tokenizer(path):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(path),
        eos_token=SPECIAL_TOKENS[END_OF_TEXT],
        pad_token=SPECIAL_TOKENS[END_OF_TEXT],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def encode(tokenizer, documents, cache):
    """All documents as one array of ids, each followed by <|endoftext|>; kept in `cache`."""
    if not cache.exists():
        parts = []
        for start in range(0, len(documents), 20_000):
            batch = documents[start : start + 20_000]
            for encoding in tokenizer.backend_tokenizer.encode_batch(batch, add_special_tokens=False):
                parts.append(np.array([*encoding.ids, END_OF_TEXT], dtype=np.uint16))
        np.save(cache, np.concatenate(parts))
    return torch.from_numpy(np.load(cache).astype(np.int32)).cuda()


def build(shape, vocab_size):
    family, layers, hidden, heads, kv_heads, head_dim, feed_forward = shape
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-6,
        "bos_token_id": END_OF_TEXT,
        "eos_token_id": END_OF_TEXT,
        "pad_token_id": END_OF_TEXT,
    }
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**sizes, attention_bias=False))
    return MistralForCausalLM(MistralConfig(**sizes, sliding_window=None))


def cross_entropy(model, inputs, targets):
    with torch.autocast("cuda", dtype=torch.bfloat16):
        hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
        logits = torch.nn.functional.linear(hidden, model.lm_head.weight)
    return torch.nn.functional.cross_entropy(logits.view(-1, logits.size(-1)).float(), targets.reshape(-1))


def learning_rate(peak, step, elapsed_share):
    """Linear warm-up by steps, then constant, then linear down by the clock."""
    warmup = min(1, (step + 1) / WARMUP_STEPS)
    decay = max(0.0, elapsed_share - CONSTANT_SHARE) / (1 - CONSTANT_SHARE)
    return peak * warmup * (FINAL_SHARE + (1 - FINAL_SHARE) * (1 - decay))


def train(model, tokens, seconds, args):
    """Returns (steps, final loss). The clock starts after the third step, when compilation is over."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    peak = args.lr_scale * 3e-3 * (192 / model.config.hidden_size) ** 0.5
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), fused=True)
    loss_of = torch.compile(lambda inputs, targets: cross_entropy(model, inputs, targets))
    generator = torch.Generator(device="cuda").manual_seed(args.seed + 1)
    offsets = torch.arange(args.ctx + 1, device="cuda")

    step, started = 0, None
    while True:
        share = 0.0 if started is None else (time.time() - started) / seconds
        if share >= 1:
            return step, loss.item()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(peak, step, share)
        starts = torch.randint(0, len(tokens) - args.ctx - 1, (BATCH,), generator=generator, device="cuda")
        batch = tokens[starts[:, None] + offsets].long()
        loss = loss_of(batch[:, :-1], batch[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step == 3:
            torch.cuda.synchronize()
            started = time.time()
        if step % 200 == 0:
            print(f"step {step}: loss {loss.item():.4f}, {time.time() - started:.0f} s", flush=True)


@torch.no_grad()
def validation_loss(model, tokens, ctx, max_chunks=60):
    losses = []
    for start in range(0, min(len(tokens) - ctx - 1, max_chunks * ctx), ctx):
        chunk = tokens[start : start + ctx + 1].long()[None]
        losses.append(cross_entropy(model, chunk[:, :-1], chunk[:, 1:]).item())
    return float(np.mean(losses))


def save(model, tokenizer, directory):
    model.config.use_cache = True
    model.to(torch.bfloat16)
    model.config.dtype = "bfloat16"
    model.generation_config.eos_token_id = [END_OF_TEXT, END_OF_TURN]
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    # Transformers 5 writes rope_parameters only; readers of the older spelling want rope_theta too.
    path = directory / "config.json"
    config = json.loads(path.read_text()) | {"rope_theta": ROPE_THETA}
    path.write_text(json.dumps(config, indent=2))


def complete(model, tokenizer, prompt):
    ids = torch.tensor([tokenizer.encode(prompt)], device="cuda")
    return tokenizer.decode(model.generate(ids, max_new_tokens=60, do_sample=False)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--plan", required=True, help="NAME:SECONDS,… with names of " + ", ".join(SHAPES))
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--ctx", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="use this tokenizer.json instead of training one")
    parser.add_argument("--init", type=pathlib.Path, help="directory of checkpoints to continue from")
    parser.add_argument("--lr-scale", type=float, default=1.0)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    args.out.mkdir(parents=True, exist_ok=True)

    documents = args.corpus.read_text(encoding="utf-8", errors="replace").split(SPECIAL_TOKENS[END_OF_TEXT])
    tokenizer_file = args.tokenizer or args.out / "tokenizer.json"
    if not tokenizer_file.exists():
        train_tokenizer(documents, args.vocab, tokenizer_file)
    tokenizer = load_tokenizer(tokenizer_file)
    tokens = encode(tokenizer, documents, args.out / "tokens.npy")
    held_back = min(200_000, len(tokens) // 50)
    training, validation = tokens[:-held_back], tokens[-held_back:]
    print(f"{len(training)} tokens", flush=True)

    for item in args.plan.split(","):
        name, seconds = item.split(":")
        torch.manual_seed(args.seed)
        model = build(SHAPES[name], len(tokenizer))
        if args.init and (args.init / name).exists():
            model = type(model).from_pretrained(args.init / name, dtype=torch.float32)
        model.cuda().config.use_cache = False
        parameters = sum(p.numel() for p in model.parameters())
        print(f"{name}: {parameters} parameters", flush=True)
        steps, final_loss = train(model, training, float(seconds), args)
        model.eval()
        val_loss = validation_loss(model, validation, args.ctx)
        save(model, tokenizer, args.out / name)
        report = {
            "name": name,
            "params": parameters,
            "steps": steps,
            "tokens": steps * BATCH * args.ctx,
            "train_seconds": float(seconds),
            "final_train_loss": final_loss,
            "val_loss": val_loss,
            "val_ppl": math.exp(val_loss),
            "corpus": args.corpus.name,
            "seed": args.seed,
            "sample": [complete(model, tokenizer, prompt) for prompt in SAMPLE_PROMPTS],
        }
        (args.out / name / "training.json").write_text(json.dumps(report, indent=1))
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
