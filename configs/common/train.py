"""What the training loop reads, with the values it has unless an experiment says otherwise."""

train = dict(
    # Folder of checkpoints, metrics.json, log.txt, TensorBoard events and evaluations.
    output_dir="output",
    # Weights to start from, or to evaluate with --eval-only: a file, an https:// or detectron2://
    # address; "" starts from random weights.
    init_checkpoint="",
    # Optimizer steps of the run; 87,960 are 12 epochs of COCO with 16 images a step.
    max_iter=87_960,
    # Parts of the model that stay as they are, such as ["backbone"]: their weights are not trained,
    # and the statistics of their norms are those stored. None trains what the model lets train.
    frozen=None,
    # Decides initial weights, order and augmentation of the data, and sampling; None draws a seed
    # and logs it.
    seed=None,
    # Classes of a detector, [{"id": ..., "name": ...}, ...], for those who predict with the run's
    # config.yaml; --train-data fills them in. None leaves them to the metadata of the test data.
    categories=None,
    # Where data of the command line are, [{"name": ..., "data": "images_dir:annotations.json"},
    # ...] with absolute paths, for those who evaluate with the run's config.yaml; --train-data and
    # --test-data fill them in.
    datasets=None,
    # "cuda" or "cpu"; --num-gpus 0 sets "cpu".
    device="cuda",
    # Iterations between two lines of metrics.
    log_period=20,
    # Iterations between two evaluations; 0 evaluates after the last iteration only.
    eval_period=7_330,
    # Mixed precision; dtype is "float16" (its gradients are scaled) or "bfloat16".
    amp=dict(enabled=False, dtype="float16"),
    # Bound on the L2 norm of all gradients together; None does not clip.
    clip_grad_norm=None,
    # Batches whose gradients are averaged for one optimizer step.
    accumulate=1,
    # Moving average of the weights, which is then what is evaluated and stored as "model".
    ema=dict(enabled=False, decay=0.9998),
    # Several processes: options of DistributedDataParallel, and fp16_compression of gradients.
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    # Iterations between two checkpoints, and how many of them stay.
    checkpointer=dict(period=7_330, max_to_keep=3),
    # Metric whose best evaluation is kept as model_best.pth, and whether "max" or "min" is best;
    # None keeps no such file.
    best_checkpoint=dict(metric="box_proposals/AR@1000", mode="max"),
)
