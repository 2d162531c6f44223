"""SoLAD in a Lightning module: our methods are plain modules, so the module only hands the batch over. Expected output
of `python examples/lightning_module.py` (the figures depend on the machine):

    step  0  loss 2.371  loss_cls 1.143  loss_box 0.688
    step 10  loss 2.007  loss_cls 0.791  loss_box 0.645
"""

import lightning
import torch
from squares import pictures
from torch.utils.data import DataLoader

from colad_ops import ragged
from colad_ops.detection import Method, SoLAD, Targets, build_network


class Detector(lightning.LightningModule):
    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def training_step(self, batch: tuple[torch.Tensor, Targets], index: int) -> torch.Tensor:
        images, targets = batch
        losses = self.method.loss(images, targets)
        self.log_dict({name: value.float() for name, value in losses.items()}, batch_size=len(images))
        if index % 10 == 0:
            shown = "  ".join(f"{name} {losses[name]:.3f}" for name in ("loss", "loss_cls", "loss_box"))
            print(f"step {index:2}  {shown}")
        return losses["loss"]

    def transfer_batch_to_device(self, batch, device: torch.device, dataloader_idx: int):
        images, targets = batch
        return images.to(device, non_blocking=True), targets.to(device, non_blocking=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.method.parameters(), lr=1e-3)


def collate(seeds: list[int]) -> tuple[torch.Tensor, Targets]:
    images, targets = pictures(len(seeds), seed=seeds[0])
    boxes, offsets = ragged([target["boxes"] for target in targets])
    labels = torch.cat([target["labels"] for target in targets])
    sizes = torch.tensor([image.shape[-2:] for image in images])
    return torch.stack(images), Targets(boxes, labels, offsets, sizes)


def main(steps: int = 11) -> None:
    lightning.seed_everything(0, verbose=False)
    teacher = build_network("digits_student", num_classes=4)  # with real pictures: a trained one
    method = SoLAD(build_network("digits_student", num_classes=4), teacher)
    loader = DataLoader(range(2 * steps), batch_size=2, collate_fn=collate)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    lightning.Trainer(accelerator="auto", devices=1, max_epochs=1, **quiet).fit(Detector(method), loader)


if __name__ == "__main__":
    main()
