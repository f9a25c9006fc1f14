# SPDX-License-Identifier: Apache-2.0
"""One vLLM engine, for as long as it takes to score a job's windows: `-m thermoe.eval_engine.vllm_child JOB OUT`. Whether
the engine is priced, its environment says."""
import json
import pathlib
import sys


def main(job: str, out: str) -> None:
    import vllm
    asked = json.loads(pathlib.Path(job).read_text())
    engine = vllm.LLM(model=asked["model"], skip_tokenizer_init=True, **asked["engine"])
    how = vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=asked["top"], detokenize=False)
    with open(out, "w") as file:
        for batch in asked["batches"]:
            for output in engine.generate([{"prompt_token_ids": ids} for ids in batch], how, use_tqdm=False):
                file.write(json.dumps([{str(token): entry.logprob for token, entry in position.items()}
                                       for position in output.prompt_logprobs[1:]]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
