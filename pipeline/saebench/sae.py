"""Our dictionary as the SAE object that sae-bench evaluates, as trained or with an edit applied."""

import torch
from sae_bench.custom_saes.base_sae import BaseSAE
from sae_bench.custom_saes.identity_sae import IdentitySAE

from pipeline.sae.dictionary import Dictionary
from pipeline.saebench.job import Edit, Job

NamedSAEs = list[tuple[str, BaseSAE]]  # the form in which every eval of sae-bench takes SAEs


class BenchDictionary(BaseSAE):
    """A dictionary with decoder rows of length 1, which is what sae-bench assumes.

        z' = z * |w|    w' = w / |w|    (w a decoder row, z its code after the nonlinearity)

    Scaling after the nonlinearity keeps the choice of latents of every architecture; folding the length into the
    encoder would change which latents a TopK keeps. Unlearning clamps codes to fixed values, so without the unit
    length its step would depend on how the dictionary was parametrised.
    """

    def __init__(self, dictionary: Dictionary, model_name: str, hook_layer: int, hook_name: str, device: str) -> None:
        dtype = torch.float32
        super().__init__(
            dictionary.d_model, dictionary.d_sae, model_name, hook_layer, torch.device(device), dtype, hook_name
        )
        self.dictionary = dictionary.to(device=device, dtype=dtype)
        norm_s = self.dictionary.W_dec.detach().norm(dim=1)
        # A dead latent may have a zero row: it stays zero, and its code stays as it is.
        self.register_buffer("norm_s", torch.where(norm_s > 0, norm_s, torch.ones_like(norm_s)))
        self.W_enc.data = self.dictionary.W_enc.detach().clone()
        self.b_enc.data = self.dictionary.b_enc.detach().clone()
        self.W_dec.data = self.dictionary.W_dec.detach() / self.norm_s[:, None]
        self.b_dec.data = self.dictionary.b_dec.detach().clone()
        self.cfg.architecture = type(dictionary).__name__
        self.requires_grad_(False)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Codes in units of the decoder's unit rows: [..., d] -> [..., s]."""
        return self.dictionary.encode(x) * self.norm_s

    def decode(self, feature_acts: torch.Tensor) -> torch.Tensor:
        """Reconstruction: [..., s] -> [..., d]."""
        return feature_acts @ self.W_dec + self.b_dec

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruction of the residual stream."""
        return self.decode(self.encode(x))

    def to(self, *args, **kwargs) -> "BenchDictionary":
        """Move or cast; the recorded dtype follows, since sae-bench's activation store reads it from there."""
        super().to(*args, **kwargs)
        self.cfg.dtype = str(self.dtype).removeprefix("torch.")
        return self


class EditedDictionary(BenchDictionary):
    """The same dictionary with an unlearning edit in it: chosen latents are rewritten wherever they fire."""

    def __init__(self, *args, edit: Edit, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        latents = torch.tensor(edit.latents, dtype=torch.long, device=self.W_dec.device)
        factor_s, value_s = torch.ones_like(self.norm_s), torch.zeros_like(self.norm_s)
        factor_s[latents] = torch.tensor(edit.factors, device=factor_s.device)
        value_s[latents] = torch.tensor(edit.values, device=value_s.device)
        self.register_buffer("factor_s", factor_s)
        self.register_buffer("value_s", value_s)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """``factor z + value`` where a latent's code z is positive, in units of the decoder's unit rows."""
        codes = super().encode(x)
        return torch.where(codes > 0, self.factor_s * codes + self.value_s * self.norm_s, codes)


def bench_saes(job: Job, dictionary: Dictionary) -> NamedSAEs:
    """The plain dictionary as "sae", and one more for each edit of the job, under its name."""
    place = (dictionary, job.model_name, job.hook_layer, job.hook_name, job.device)
    plain = [("sae", BenchDictionary(*place))]
    return plain + [(name, EditedDictionary(*place, edit=edit)) for name, edit in job.edits.items()]


def identity_sae(job: Job, d_model: int) -> IdentitySAE:
    """The residual stream itself as a dictionary: a throwaway that makes sae-bench fill its activation cache."""
    device = torch.device(job.device)
    return IdentitySAE(d_model, job.model_name, job.hook_layer, device, torch.float32, job.hook_name)
