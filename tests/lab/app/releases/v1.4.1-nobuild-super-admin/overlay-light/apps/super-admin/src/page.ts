import './gone'
