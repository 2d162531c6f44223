"""mmdetection's PAA R50 1x, with our assignment and losses in its head: three lines. mmdetection's own script trains it
on COCO in `data/coco`: `python tools/train.py examples/mmdet_paa_config.py`.

Run as a script, this file trains a small detector of the configuration for four steps on one batch of noise, without
data and without downloads. Expected output of `python examples/mmdet_paa_config.py` (the figures depend on the
machine):

    ColadPAAHead: topk 9, covariance diag, box cost giou x 1.3
    step 0: loss_cls 1.08  loss_bbox 0.53  loss_iou 0.34
    step 1: loss_cls 0.91  loss_bbox 0.47  loss_iou 0.33
    step 2: loss_cls 0.66  loss_bbox 0.40  loss_iou 0.31
    step 3: loss_cls 0.39  loss_bbox 0.41  loss_iou 0.31
"""

_base_ = "mmdet::paa/paa_r50_fpn_1x_coco.py"
custom_imports = dict(imports=["colad_ops.integrations.mmdet"], allow_failed_imports=False)
model = dict(bbox_head=dict(type="ColadPAAHead"))  # assign=dict(...) changes fields of colad_ops.AssignConfig


def main() -> None:
    # Imports at the top of the file would make it a configuration of mmengine's other kind.
    import logging

    import torch
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.structures import InstanceData

    logging.disable(logging.INFO)  # mmengine logs how each parameter is initialised
    register_all_modules()
    config = Config.fromfile(__file__).model
    config.backbone.update(depth=18, init_cfg=None)
    config.neck.in_channels = [64, 128, 256, 512]

    torch.manual_seed(0)
    detector = MODELS.build(config).train()
    detector.init_weights()
    settings = detector.bbox_head.colad.config
    print(
        f"{type(detector.bbox_head).__name__}: topk {settings.topk}, covariance {settings.covariance}, "
        f"box cost {settings.box_cost} x {settings.box_weight}"
    )

    images = torch.randn(2, 3, 128, 160)
    samples = [DetDataSample(metainfo=dict(img_shape=(128, 160), pad_shape=(128, 160))) for _ in images]
    samples[0].gt_instances = InstanceData(
        bboxes=torch.tensor([[10.0, 20.0, 90.0, 100.0], [70.0, 30.0, 150.0, 80.0]]), labels=torch.tensor([3, 17])
    )
    samples[1].gt_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))

    optimizer = torch.optim.SGD(detector.parameters(), lr=0.001, momentum=0.9)
    for step in range(4):
        losses = detector.loss(images, samples)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        print(f"step {step}: " + "  ".join(f"{name} {loss.item():.2f}" for name, loss in losses.items()))


if __name__ == "__main__":
    main()
