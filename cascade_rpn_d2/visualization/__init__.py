"""Pictures of proposals, stages, guided anchors, heat maps, scores, sampling points and curves.

Everything takes and returns images as (H, W, 3) uint8 arrays in RGB order.
"""

from .box_paths import BoxPath, draw_box_paths
from .canvas import save_image
from .color_bar import color_bar, map_colors
from .convolutions import Sampling, draw_convolutions
from .curves import plot_recall_curves, recall_figure
from .densities import Density, densities_figure, plot_densities
from .detections import draw_detections
from .guided_anchors import AnchorLevel, draw_guided_anchors
from .heat_maps import GridMaps, draw_heat_maps
from .histograms import histograms_figure, plot_histograms
from .iou_counts import iou_counts_figure, plot_iou_counts
from .lines import lines_figure, plot_lines
from .panels import Key, Panel, panel_grid
from .precision import plot_precision, precision_figure
from .proposals import draw_ground_truth, draw_proposals, recall_caption
from .recall import plot_recall, recall_pair_figure
from .rows import plot_rows
from .sampling_points import (
    deformed_points,
    draw_sampling_points,
    grid_points,
    sampling_points,
)
from .score_ious import plot_score_ious, score_ious_figure
from .scored_boxes import ScoredBox, draw_scored_boxes
from .stages import draw_stages

__all__ = [
    "AnchorLevel",
    "BoxPath",
    "Density",
    "GridMaps",
    "Key",
    "Panel",
    "Sampling",
    "ScoredBox",
    "color_bar",
    "deformed_points",
    "densities_figure",
    "draw_box_paths",
    "draw_convolutions",
    "draw_detections",
    "draw_ground_truth",
    "draw_guided_anchors",
    "draw_heat_maps",
    "draw_proposals",
    "draw_sampling_points",
    "draw_scored_boxes",
    "draw_stages",
    "grid_points",
    "histograms_figure",
    "iou_counts_figure",
    "lines_figure",
    "map_colors",
    "panel_grid",
    "plot_densities",
    "plot_histograms",
    "plot_iou_counts",
    "plot_lines",
    "plot_precision",
    "plot_recall",
    "plot_recall_curves",
    "plot_rows",
    "plot_score_ious",
    "precision_figure",
    "recall_caption",
    "recall_figure",
    "recall_pair_figure",
    "sampling_points",
    "save_image",
    "score_ious_figure",
]
