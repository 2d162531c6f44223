"""Pictures of coloured squares with targets in torchvision's format, for the other examples. Expected output of
`python examples/squares.py`:

    2 pictures of 3 x 128 x 128, 3 and 3 objects, labels 1 to 3
"""

import torch


def pictures(count: int, seed: int = 0, side: int = 128) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """Noise with three squares each: red is class 1, green 2, blue 3."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for _ in range(count):
        image = torch.rand(3, side, side, generator=generator) * 0.3
        boxes = []
        for label in range(3):
            size = int(torch.randint(side // 5, side // 2, (), generator=generator))
            x, y = torch.randint(0, side - size, (2,), generator=generator).tolist()
            image[:, y : y + size, x : x + size] *= 0.3
            image[label, y : y + size, x : x + size] += 0.7
            boxes.append([x, y, x + size, y + size])
        images.append(image)
        targets.append({"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": torch.arange(1, 4)})
    return images, targets


if __name__ == "__main__":
    images, targets = pictures(2)
    shape = " x ".join(str(n) for n in images[0].shape)
    counts = " and ".join(str(len(target["labels"])) for target in targets)
    labels = targets[0]["labels"]
    print(f"{len(images)} pictures of {shape}, {counts} objects, labels {labels.min()} to {labels.max()}")
