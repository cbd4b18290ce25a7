"""Pictures of proposals, stages, sampling points, detections and curves.

Everything takes and returns images as (H, W, 3) uint8 arrays in RGB order.
"""

from .canvas import save_image
from .curves import plot_recall_curves, recall_figure
from .detections import draw_detections
from .lines import lines_figure, plot_lines
from .panels import Panel, panel_grid
from .proposals import draw_ground_truth, draw_proposals, recall_caption
from .rows import plot_rows
from .sampling_points import draw_sampling_points, sampling_points
from .stages import draw_stages

__all__ = [
    "Panel",
    "draw_detections",
    "draw_ground_truth",
    "draw_proposals",
    "draw_sampling_points",
    "draw_stages",
    "lines_figure",
    "panel_grid",
    "plot_lines",
    "plot_recall_curves",
    "plot_rows",
    "recall_caption",
    "recall_figure",
    "sampling_points",
    "save_image",
]
