"""Raw file or array to model input: used by training, evaluation, embedding and deployment alike."""

from domains.remote_sensing.processors.captions import CaptionProcessor as CaptionProcessor
from domains.remote_sensing.processors.labels import LabelMapProcessor as LabelMapProcessor
from domains.remote_sensing.processors.location import LocationProcessor as LocationProcessor
from domains.remote_sensing.processors.optical import OpticalProcessor as OpticalProcessor
from domains.remote_sensing.processors.radar import RadarProcessor as RadarProcessor
from domains.remote_sensing.processors.raster import RasterProcessor as RasterProcessor
from domains.remote_sensing.processors.view import RasterView as RasterView
